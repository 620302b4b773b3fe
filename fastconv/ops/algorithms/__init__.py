"""Convolution algorithms: one module each, and `select`, which chooses among them.

A module has `name`, `rejects`, `features`, `workspace`, `error_bound`, `forward`, `grad_input` and
`grad_weight`; `select.ALGORITHMS` lists them. `direct` shows the whole shape.
"""
