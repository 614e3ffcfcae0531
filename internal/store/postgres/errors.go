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

// SQLSTATE codes, from https://www.postgresql.org/docs/15/errcodes-appendix.html. ES409 is raised by the functions of this
// schema.
const (
	rowsChanged         = "ES409"
	serialization       = "40001"
	deadlock            = "40P01"
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	diskFull            = "53100"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
	invalidCatalogName  = "3D000" // the database does not exist
	authorizationClass  = "28"    // class: unknown role, wrong password, or connection not permitted
	noPrivilege         = "42501" // the role lacks a privilege
)

// sqlState returns the SQLSTATE of a server error, or an empty string for other errors.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// repeatable reports whether a write lost a race, so that the next attempt may succeed.
func repeatable(err error) bool {
	switch sqlState(err) {
	case rowsChanged, serialization, deadlock, uniqueViolation:
		return true
	}
	return false
}

// writeError adds a code to the error of a write, by which callers know if the write may have happened.
func writeError(operation string, err error) error {
	return esh3ar.Errorf(writeCode(err), "%s: %w", operation, err)
}

// writeCode classifies the error of a write.
func writeCode(err error) esh3ar.Code {
	state := sqlState(err)
	switch {
	case state == adminShutdown || state == crashShutdown:
		return esh3ar.OutcomeUnknown // the server may have stopped between the commit and its answer
	case state == diskFull:
		return esh3ar.StorageFull
	case len(state) == 5 && state[:2] == "22": // data exception: the data can never be stored
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

// readError adds the code StoreUnavailable to the error of a read.
func readError(operation string, err error) error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, err)
}

// openError returns the error of Open. After a connection failure Open can be repeated: it works under a lock, in
// transactions that the server rolls back.
func openError(operation string, err error) error {
	if isConnection(err) {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, err)
	}
	if sqlState(err) == noPrivilege {
		return fmt.Errorf("%s: %w; make the role of the URL the owner of the database and its objects", operation, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// isConnection reports whether the connection failed, or the server is starting or stopping.
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
