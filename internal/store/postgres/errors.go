package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/esh3artech/esh3ar"
)

// SQLSTATE codes: https://www.postgresql.org/docs/15/errcodes-appendix.html. ES409 is our functions' own.
const (
	rowsChanged         = "ES409"
	serialization       = "40001"
	deadlock            = "40P01"
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	diskFull            = "53100"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
	invalidCatalogName  = "3D000" // no such database
	authorizationClass  = "28"    // no such role, a wrong password, or nobody may come from there
	noPrivilege         = "42501" // the role may not do that
)

// sqlState is the server's word on what went wrong; empty: the server did not say.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// repeatable tells whether a write lost a race and the next try may win it.
func repeatable(err error) bool {
	switch sqlState(err) {
	case rowsChanged, serialization, deadlock, uniqueViolation:
		return true
	}
	return false
}

// writeError classifies the error of a write: did it happen?
func writeError(operation string, err error) error {
	return esh3ar.Errorf(writeCode(err), "%s: %w", operation, err)
}

func writeCode(err error) esh3ar.Code {
	state := sqlState(err)
	switch {
	case state == adminShutdown || state == crashShutdown:
		return esh3ar.OutcomeUnknown // it may have come between the commit and its answer
	case state == diskFull:
		return esh3ar.StorageFull
	case len(state) == 5 && state[:2] == "22": // data exceptions: what was sent cannot be stored, ever
		return esh3ar.Invalid
	case pgconn.SafeToRetry(err) && errors.Is(err, context.Canceled):
		return esh3ar.Abandoned
	case state != "" || pgconn.SafeToRetry(err):
		return esh3ar.StoreUnavailable
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return esh3ar.StoreUnavailable
	}
	return esh3ar.OutcomeUnknown
}

// readError is the error of a read: the store cannot answer now.
func readError(operation string, err error) error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, err)
}

// openError is the error of an open: one whose connection failed can be tried again, as it was begun under a lock and in
// transactions that the server drops.
func openError(operation string, err error) error {
	if isConnection(err) {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, err)
	}
	if sqlState(err) == noPrivilege {
		return fmt.Errorf("%s: %w; make the role of the URL the owner of the database, and of what is in it", operation, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// isConnection tells whether the way to the server failed, or the server is starting or stopping.
func isConnection(err error) bool {
	if state := sqlState(err); state != "" {
		return slices.Contains([]string{"08", "53", "57"}, state[:2])
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
