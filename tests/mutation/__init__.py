"""How much of the compiler and the evaluator the unit tests hold: a change of the code must fail one."""
