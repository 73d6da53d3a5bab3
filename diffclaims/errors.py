"""The errors that users see: each names the value, the limit and the fix."""

from __future__ import annotations


class DiffclaimsError(Exception):
    """Base of every error that the package raises on purpose."""


class InvalidInput(DiffclaimsError, ValueError):
    """A value from the user cannot be used."""

    @classmethod
    def of(cls, what: str, value: object, limit: str, fix: str) -> InvalidInput:
        """Build the message in the one form that all input errors share.

        Parameters
        ----------
        what : str
            Name of the argument.
        value : object
            What was given; shown by `repr`, shortened.
        limit : str
            What is allowed, as a phrase that follows "must".
        fix : str
            What to do, as an imperative.
        """
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        return cls(f"{what} = {shown}: {what} must {limit}; {fix}")


class SolveFailed(DiffclaimsError, ArithmeticError):
    """A solver stopped without a solution."""


class SubjectInvalid(DiffclaimsError, TypeError):
    """A subject breaks its contract, so that nothing may be concluded from it."""


class NotMeasured(DiffclaimsError):
    """A subject cannot answer this experiment; the case is reported as not run."""


class ClaimFailed(DiffclaimsError, AssertionError):
    """A claim was measured and does not hold."""


class BaselineError(DiffclaimsError):
    """A recorded baseline is missing, unreadable or differs."""


class BaselineMissing(BaselineError):
    """Nothing was recorded to compare with."""
