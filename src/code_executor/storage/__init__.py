"""The only room with SQL: the database, its tables and migrations, and the stores that other rooms define."""
