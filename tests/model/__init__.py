"""A search through every state that a pair can get into: does anything ever break a promise of the design?

The decisions are those of the real code: ``denodo_ha.verdict`` judges what is heard, ``denodo_ha.decisions`` says
what to do about it, and ``denodo_ha.record`` and ``denodo_ha.transitions`` change the record. Modelled are the two
servers, the network, time, people, and the tasks, each as a program of small steps (``syncing``, ``failing_over``,
``switching_over``) in the order of ``denodo_scheduler.steps``. Between any two steps everything in ``world`` can
happen: a server or a path fails or comes back, a lease ends, a task is killed, also with its request still on its way,
is begun a second time by another run or a clear, or goes on although Airflow has given it up.

A search of its own has other faults: the master's name no longer resolves, or leads to the slave, for Airflow and for
the slave's web tool alike. Another one, in ``test_shared_slave``, has two pairs with one slave.

What the model takes for granted:

* Reading the record, checking it and saving it is one step; so are a look at the master and the request right after it.
* A request sent under a lease has ended when the lease has. A request sent without one (a quench, a repair, disabling
  while a lost import may go on) has ended before the pair's next operation has come far enough to be hurt by it.
* A person starts a fenced master only in phase ``normal`` or ``failed_over``, and asks for a switchover only there.
* A name does not move between the comparison of both servers and the request that rests on it; a request that is sent
  later carries ids of the server that was read.
* The last address of the master's name is known, since the master was heard there, and stays the master's.
* Two jobs stand for all: batches are one job each. At most one task acts beside the one in the pool.

``DENODO_HA_SEARCH_FAULTS=3`` lets three faults happen on the way instead of two; that takes a minute.
"""
