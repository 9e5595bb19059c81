"""The confined interpreter that runs one program, or the cells of one session, and dies."""
