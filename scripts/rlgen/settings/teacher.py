"""stub"""
from pydantic import Field
from rlgen.settings.strict import Strict
class Teacher(Strict):
    """stub"""
    model: str
    samples_per_prompt: int = 4
    max_new_tokens: int = 16384
    temperature: float = 0.6
    top_p: float = 0.95
    shards: int = Field(8, ge=1)
    keep_per_prompt: int = 1
    backend: str = "auto"
