"""A COMMIT that is answered; what becomes of one that is not stands in test_outcome."""

import pytest

from copypump.errors import Side, TargetError
from copypump.postgres.commit import commit
from copypump.postgres.session import Session


def test_commit_keeps(database, sql):
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        session.execute("CREATE TABLE kept ()")
        commit(session)
        assert session.committed is True
        assert not session.in_transaction
    assert sql(database, "SELECT count(*) FROM pg_class WHERE relname = 'kept'") == [(1,)]


def test_deferred_constraints_fail_at_commit(database, sql):
    sql(database, "CREATE TABLE parent (id int PRIMARY KEY)")
    sql(database, "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        session.execute("INSERT INTO child VALUES (4711)")
        with pytest.raises(TargetError) as caught:
            commit(session)
        assert session.committed is False
    assert caught.value.sqlstate == "23503"
    assert "4711" not in str(caught.value)


def test_committing_a_failed_transaction_is_an_error(target_session):
    with pytest.raises(TargetError):
        target_session.execute("SELECT 1/0")
    with pytest.raises(TargetError, match="aborted"):
        commit(target_session)
