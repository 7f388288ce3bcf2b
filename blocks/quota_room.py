"""Remaining quota of an account, as the cloud reports it before a launch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class QuotaRoom(BaseModel):
    """One quota of a region or of the whole account."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    region: str  #: empty: the whole account
    name: str  #: a key of `Cloud.quotas_of`
    title: str  #: for users, e.g. 'Standard spot'
    unit: str = "vCPUs"
    limit: float
    left: float  #: equal to `limit` if the current usage is unknown

    @property
    def said(self) -> str:
        """Text for the table of excluded offers."""
        amount = f"{self.limit:g}" if self.left == self.limit else f"{max(0.0, self.left):g} of {self.limit:g} free"
        return f"quota {self.region or 'of the account'} {self.title} = {amount} {self.unit}"
