"""What confines a child: Landlock, seccomp and the system calls that apply them."""
