"""The scorer in process, beside a build before: `python -m benchmarks.scorer`. No servers.

measure  times each stage in one process, and prints what it found
run      starts that process for each build, by turns
report   the table
"""
