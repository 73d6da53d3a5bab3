"""Advice from a data set before anything is trained: orders of learning, what to doubt, and class weights."""

from diffclaims.advice.compute import advise

__all__ = ["advise"]
