"""All that the Snakefile knows of the library, which itself never imports Snakemake."""

from ecogvault.workflow.run import answer_interrupts, close, explained, freeze, plan
from ecogvault.workflow.targets import Plan

__all__ = ["Plan", "answer_interrupts", "close", "explained", "freeze", "plan"]
