"""Whether tests would notice a fault: small faults are put into the code, and the tests that run over them must fail.

``python -m tests.mutation --rooms storage --count 50 --seed 7``
"""
