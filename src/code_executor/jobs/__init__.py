"""Jobs: executions and checks that outlive their request. A client of a runner, with stores that others implement."""
