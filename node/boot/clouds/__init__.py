"""What a machine can do by its cloud's own means before anything is installed: standard library, Python 3.9 or later.

`common.py` and one file per cloud become the one program that the user data carries (blocks/user_data.py)::

    python3 cloud.py secrets <folder>    the job's secret, a file each
    python3 cloud.py node <brief>         the machine's index among the attempt's, into its brief
    python3 cloud.py uv <folder>          the uv program that SPOTWAVE_UV pins
    python3 cloud.py tell                the log on standard input, without secrets, to the lease and standard output
    python3 cloud.py end                 the machine ends itself for good
"""
