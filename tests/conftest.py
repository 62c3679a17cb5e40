"""What all tests share."""

from hypothesis import settings

# Other work on the machine must not fail a test: no deadline for an example. `--hypothesis-profile deep`
# looks further.
settings.register_profile("memscope", deadline=None, max_examples=50)
settings.register_profile("deep", deadline=None, max_examples=1000)
settings.load_profile("memscope")
