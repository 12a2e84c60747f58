"""What crosses shared memory between workers and supervisor: its layout, and the supervisor's end of it."""
