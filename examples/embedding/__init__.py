"""A checksum service in one trio program: what a complete use of `actors` looks like.

Clients hand in files. Each client has a session, which goes away when it is idle, and an account of credits, which is
event-sourced and survives every restart. Each file costs one credit. Workers under a supervisor compute the checksums,
at a limited rate; one that fails is restarted, and the file it failed on is reported. Ctrl-C stops it all in order.

    sessions ──→ accounts ──→ journal files
        └──→ dispatcher ←──→ workers
                  └──→ report
"""
