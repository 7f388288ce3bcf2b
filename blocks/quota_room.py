"""What an account may still have of a quota, as its cloud tells it before anything is launched."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class QuotaRoom(BaseModel):
    """One quota of a region, or of the whole account."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    region: str  #: empty: of the whole account
    name: str  #: as `Cloud.quotas_of` has it
    title: str  #: for people, e.g. 'Standard spot'
    unit: str = "vCPUs"
    limit: float
    left: float  #: the limit, where the cloud does not tell what is in use

    @property
    def said(self) -> str:
        """In words, for the table of what was left out."""
        amount = f"{self.limit:g}" if self.left == self.limit else f"{max(0.0, self.left):g} of {self.limit:g} free"
        return f"quota {self.region or 'of the account'} {self.title} = {amount} {self.unit}"
