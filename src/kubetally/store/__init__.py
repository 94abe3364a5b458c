"""What Kubetally keeps: the metadata in SQL, booked days in a lake."""
