"""What is asked of running processes: lag and metrics."""
