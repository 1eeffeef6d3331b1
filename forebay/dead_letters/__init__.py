"""Dead letters and late events, looked at and sent again.

<topic>.dlq, <topic>.late --read--> Letter --select--> those that are asked for --list | show--> a person
                                                                               --replay, marked--> <topic>
"""
