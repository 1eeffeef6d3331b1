"""The other systems, each as its own documentation shows it, and each a process of its own."""
