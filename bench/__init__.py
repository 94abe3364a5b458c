"""What is fast and how fast: `python -m bench` measures it and writes docs/benchmarks.md."""
