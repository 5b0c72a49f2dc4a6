"""Pure maths on tensors and numbers: no module, no state, torch alone. Eqs. 1-8 of the paper and the formulas of the methods."""
