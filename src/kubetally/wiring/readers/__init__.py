"""Reading in processes: what a cluster answers is decoded, booked and packed on every core, and committed by one."""
