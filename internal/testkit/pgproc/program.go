package pgproc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// installed matches the directories of Debian's server programs, which are not in PATH.
const installed = "/usr/lib/postgresql/*/bin"

// find returns the path of a PostgreSQL program, of the newest installed version.
func find(name string) (string, error) {
	if found, err := filepath.Glob(filepath.Join(installed, name)); err == nil && len(found) > 0 {
		return slices.Max(found), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed; run: apt-get install postgresql", name)
	}
	return path, nil
}

// account is the user that the server runs as: PostgreSQL refuses root.
type account struct{ credential *syscall.Credential }

// unprivileged returns the user postgres if this process runs as root, and otherwise nil.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return &account{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install postgresql", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	return &account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// makeDir makes a folder that the account owns. It lies in the system's own folder for such: a test's is closed to others.
func (a *account) makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "esh3ar-postgres-")
	if err != nil || a.credential == nil {
		return dir, err
	}
	return dir, os.Chown(dir, int(a.credential.Uid), int(a.credential.Gid))
}

func (a *account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	cmd.Dir = "/" // the current directory may not be accessible to the account
}
