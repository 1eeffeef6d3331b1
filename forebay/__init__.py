"""The command line, and the whole of Forebay on one machine: embedded servers, replay, training, demo."""
