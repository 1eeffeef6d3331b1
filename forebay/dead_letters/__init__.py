"""Lists dead letters and late events, and sends their records again.

<topic>.dlq, <topic>.late --read--> Letter --select--> those that are asked for --list | show--> a person
                                                                               --replay, marked--> <topic>
"""
