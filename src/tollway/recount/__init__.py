"""The same tokens counted twice, off the path: a provider's usage against our own tokenizer.

Stands above the stages, as the path does: it asks intake and upstream for text, metering what the counts mean, and the
ledger to keep them.
"""
