"""What can go wrong, in the user's words: each message names the value and the way out.

* ContinualError
  + InvalidSettings   the environment or `.env` holds a value the app cannot run with
  + InvalidRows       the rows offered do not fit the schema; nothing was stored
  + InvalidLabels     the labels offered cannot be taken
  + InvalidInput      any other value a person or a request gave
  + NotFound          there is no such project, model version, decision or run
  + NotEnoughRows     too little to judge or to train on
  + NoChampion        nothing has been promoted yet
  + Conflict          it clashes with what is already there, or with what is running
  + Forbidden         this user or token may not do that
  + SignInRefused     wrong name or password, or too many tries
  + TrainingFailed    the worker process did not bring a model back
  + ModelCorrupt      a model file is not the one that was registered
  + StorageBusy       another process holds the database
  + StorageFailed     the database could not write (a full disk, most often)
  + PicturesOff       no browser is there to take pictures, or it failed
  + ChannelError      an alert could not be delivered
"""


class ContinualError(Exception):
    """Base of every error a page or the API shows to its user."""


class InvalidSettings(ContinualError):
    pass


class InvalidInput(ContinualError):
    pass


class InvalidRows(InvalidInput):
    pass


class InvalidLabels(InvalidInput):
    pass


class NotFound(ContinualError):
    pass


class NotEnoughRows(ContinualError):
    pass


class NoChampion(ContinualError):
    pass


class Conflict(ContinualError):
    pass


class Forbidden(ContinualError):
    pass


class SignInRefused(ContinualError):
    pass


class TrainingFailed(ContinualError):
    pass


class ModelCorrupt(ContinualError):
    pass


class StorageBusy(ContinualError):
    pass


class StorageFailed(ContinualError):
    pass


class PicturesOff(ContinualError):
    pass


class ChannelError(ContinualError):
    """``permanent`` when trying again cannot help; ``retry_after`` in seconds when the channel asked for a pause."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after
