"""What the benchmarks share; `tools/dev.py bench` runs the scripts beside this folder."""
