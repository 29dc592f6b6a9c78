"""When a certificate is ordered, and when its end is told: pure functions of times."""

from __future__ import annotations

import datetime as dt

from ubmc.v1alpha1.security_pb import Acme, Certificate, CertificateSource

EXPIRY_DAYS = (30, 14, 7, 3, 1, 0)
"""A warning is told when so many days are left, and once more when none is."""

FIRST_RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 6 * 3600.0


def renew_at(certificate: Certificate, order: Acme) -> dt.datetime:
    """When a certificate is ordered: at once unless it is one of this order, else after two thirds of its life."""
    begin, end = certificate.not_before, certificate.not_after
    if certificate.source is not CertificateSource.ACME or begin is None or end is None:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    if set(order.domains) != set(certificate.alternative_names):
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    start, stop = begin.to_datetime(), end.to_datetime()
    return start + (stop - start) * 2 / 3


def retry_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row, one at least."""
    return float(min(FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), LONGEST_RETRY_SECONDS))


def days_left(certificate: Certificate, now: dt.datetime) -> int:
    """Whole days until the certificate expires; negative when it has."""
    end = certificate.not_after
    return 0 if end is None else (end.to_datetime() - now) // dt.timedelta(days=1)


def step(days: int) -> int | None:
    """Which warning is due with so many days left: the smallest of `EXPIRY_DAYS` that is reached; None for none."""
    reached = [each for each in EXPIRY_DAYS if days <= each]
    return -1 if days < 0 else min(reached, default=None)
