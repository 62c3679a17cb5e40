"""A conversation as the token ids that a model reads, each owned by a memory, a response or the template."""

from memscope.prompt.tokens import Prompt, build_prompt

__all__ = ["Prompt", "build_prompt"]
