"""A plan played through from its agreement to its last line: on the emulator, in a process and database of its own."""
