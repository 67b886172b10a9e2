"""What must never happen, and what must happen once faults stop."""

from __future__ import annotations

from enum import StrEnum


class Property(StrEnum):
    """The promises of a pair; all but the last hold in every reachable state."""

    S0 = "S0 the epoch went back"
    S1_OBSERVABLE = "S1 a job was enabled on both servers although the master was observable"
    S1_FENCED = "S1 a job was enabled on both servers although fencing is required"
    S1_SWITCHOVER = "S1 a switchover enabled a job on both servers"
    S1_LATE = "S1 a late call enabled a job on the passive server"
    S1_GIVEN_UP = "S1 given up with enabled jobs on the slave"
    S2 = "S2 a deliberately disabled job was enabled"
    S2B = "S2b a job that was deleted on the master was enabled"
    S3 = "S3 import into a slave that is or becomes the active server"
    S3_MASTER = "S3 import into a master that is or becomes the active server"
    S4 = "S4 the active server's jobs were disabled"
    S5 = "S5 failover on fewer failed rounds than agreed"
    S6 = "S6 jobs were enabled on a slave whose import was never verified"
    S7 = "S7 a failover began although the master was alive and both paths to it were whole"
    S8 = "S8 the master was judged well by what the slave has answered under its name"
    L1 = "L1 without faults, the wanted jobs do not come to be enabled on the active server alone"
    L2 = "L2 without faults, the next sync does not make the slave promotable"
    L3 = "L3 without faults before, the death of the master together with its name server brings no failover"
    U = "U both servers are active: the master was alive and cut off on both paths (inherent to best_effort)"
