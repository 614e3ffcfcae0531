package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// BootstrapFile is the name, in the data directory, of the secrets that the first start made.
const BootstrapFile = "bootstrap.json"

// Secrets are what the first start makes and prints once.
type Secrets struct {
	AdminToken string            `json:"adminToken"`
	BusinessID esh3ar.BusinessID `json:"businessId"`
	APIKey     string            `json:"apiKey"`
}

// ClusterSetting is the name of the setting that holds the name of the cluster.
const ClusterSetting = "cluster"

// Names of the settings that are made once per store.
const (
	settingAdminHash  = "admin-token-sha256"
	settingSigningKey = "device-token-key"
)

// bootstrapStore is what a start needs of the store.
type bootstrapStore interface {
	esh3ar.AccountStore
	esh3ar.CredentialStore
}

// Bootstrap prepares a store for its first callers.
type Bootstrap struct {
	Store      bootstrapStore
	Dir        string // of the secrets file
	AdminToken string // used instead of a made-up one; on later starts too
	APIKey     string // used on the first start instead of a made-up one
	Now        func() time.Time
}

// Result is what a start knows after the bootstrap.
type Result struct {
	First   bool // this start made the secrets
	Secrets Secrets
	Admin   *Admin
	Tokens  *Tokens
	Ring    *keyring.Ring
	Watch   *Credentials // keeps Admin, Tokens and Ring as the store has them
	Cluster string       // see ClusterOf
}

// ClusterOf is the name that is made once per store: what uses the same one is a cluster.
func ClusterOf(ctx context.Context, store esh3ar.AccountStore) (string, error) {
	name, err := store.InitSetting(ctx, ClusterSetting, []byte(rand.Text()))
	return string(name), err
}

// Run makes what the store lacks. On the first start the secrets go into the file before anything of them goes into
// the store, and the administrator's hash goes into the store last: a crash on the way leaves a file that the next
// start completes, and never a store whose secrets nobody has.
func (b *Bootstrap) Run(ctx context.Context) (Result, error) {
	watch, err := openCredentials(ctx, b.Store, b.Now)
	if err != nil {
		return Result{}, fmt.Errorf("bootstrap: %w", err)
	}
	cluster, err := ClusterOf(ctx, b.Store)
	if err != nil {
		return Result{}, fmt.Errorf("bootstrap: %w", err)
	}
	result := Result{Tokens: watch.tokens, Ring: watch.ring, Watch: watch, Cluster: cluster}
	hash, err := b.Store.Setting(ctx, settingAdminHash)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		result.First = true
		result.Secrets, hash, err = b.first(ctx, watch.ring)
	}
	if err != nil {
		return Result{}, fmt.Errorf("bootstrap: %w", err)
	}
	if err := watch.admin.set(hash); err != nil {
		return Result{}, fmt.Errorf("bootstrap: %w", err)
	}
	if b.AdminToken != "" {
		watch.admin.fix(b.AdminToken)
	}
	watch.dir = b.Dir
	result.Admin = watch.admin
	return result, nil
}

// first makes the secrets, the business and the key, and says last that all are there.
func (b *Bootstrap) first(ctx context.Context, ring *keyring.Ring) (s Secrets, adminHash []byte, err error) {
	if s, err = b.secrets(ring); err != nil {
		return s, nil, err
	}
	now := esh3ar.TimeOf(b.Now())
	if err := b.Store.CreateBusiness(ctx, esh3ar.Business{ID: s.BusinessID, Name: "default", CreatedAt: now}); err != nil {
		return s, nil, err
	}
	key := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: s.BusinessID, Hash: HashOf(s.APIKey), CreatedAt: now}
	if err := b.Store.CreateKey(ctx, key); err != nil {
		return s, nil, err
	}
	hash := HashOf(s.AdminToken)
	adminHash, err = b.Store.InitSetting(ctx, settingAdminHash, hash[:])
	return s, adminHash, err
}

// secrets reads the file of a start that did not finish, or makes new ones and the file.
func (b *Bootstrap) secrets(ring *keyring.Ring) (s Secrets, err error) {
	path := filepath.Join(b.Dir, BootstrapFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		err = json.Unmarshal(text, &s)
		if err == nil && (s.AdminToken == "" || s.APIKey == "" || s.BusinessID.IsZero()) {
			err = errors.New("a field is missing")
		}
		if err != nil {
			return s, fmt.Errorf("%s belongs to another start and cannot be read; move it aside: %w", path, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		s = Secrets{AdminToken: "esa_" + secret(), BusinessID: esh3ar.NewBusinessID(), APIKey: newKey(ring)}
	default:
		return s, err
	}
	if b.AdminToken != "" {
		s.AdminToken = b.AdminToken
	}
	if b.APIKey != "" {
		s.APIKey = b.APIKey
	}
	return s, writeSecrets(b.Dir, path, s)
}

// writeSecrets replaces the file in one step that a crash cannot halve.
func writeSecrets(dir, path string, s Secrets) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, BootstrapFile+".*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// replaceAdmin puts another admin token into the secrets file of a folder; none is no error.
func replaceAdmin(dir, token string) error {
	path := filepath.Join(dir, BootstrapFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return nil
	}
	if err != nil {
		return err
	}
	var s Secrets
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.AdminToken = token
	return writeSecrets(dir, path, s)
}
