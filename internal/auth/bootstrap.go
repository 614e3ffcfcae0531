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

// BootstrapFile is the name of the file in the data directory that contains the secrets of the first start.
const BootstrapFile = "bootstrap.json"

// Secrets are created by the first start, which prints them once.
type Secrets struct {
	AdminToken string            `json:"adminToken"`
	BusinessID esh3ar.BusinessID `json:"businessId"`
	APIKey     string            `json:"apiKey"`
}

// ClusterSetting is the name of the setting that holds the name of the cluster.
const ClusterSetting = "cluster"

// Names of the settings that are created once per store.
const (
	settingAdminHash  = "admin-token-sha256"
	settingSigningKey = "device-token-key"
)

// bootstrapStore is the part of the store that Bootstrap uses.
type bootstrapStore interface {
	esh3ar.AccountStore
	esh3ar.CredentialStore
}

// Bootstrap creates the credentials of a new store and loads those of an existing one.
type Bootstrap struct {
	Store      bootstrapStore
	Dir        string           // directory of the secrets file
	AdminToken string           // admin token to use instead of the stored one; empty for none
	APIKey     string           // API key to use on the first start instead of a random one; empty for none
	Now        func() time.Time // clock
}

// Result is the outcome of a bootstrap.
type Result struct {
	First   bool    // whether this start created the secrets
	Secrets Secrets // only set if First is
	Admin   *Admin
	Tokens  *Tokens
	Ring    *keyring.Ring
	Watch   *Credentials // keeps Admin, Tokens and Ring up to date
	Cluster string       // name of the cluster, see ClusterOf
}

// ClusterOf returns the name of the cluster that uses the store. The first call creates a random name.
func ClusterOf(ctx context.Context, store esh3ar.AccountStore) (string, error) {
	name, err := store.InitSetting(ctx, ClusterSetting, []byte(rand.Text()))
	return string(name), err
}

// Run creates what the store lacks. The first start writes the secrets to the file before it writes to the store, and the
// hash of the admin token last. After a crash in between, the next start completes the work with the secrets in the file; a
// store whose secrets are lost cannot result.
func (b *Bootstrap) Run(ctx context.Context) (Result, error) {
	watch, err := newCredentials(ctx, b.Store, b.Now)
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
		result.Secrets, hash, err = b.createSecrets(ctx, watch.ring)
	}
	if err != nil {
		return Result{}, fmt.Errorf("bootstrap: %w", err)
	}
	if err := watch.admin.set(hash); err != nil {
		return Result{}, fmt.Errorf("bootstrap: %w", err)
	}
	if b.AdminToken != "" {
		watch.admin.setFixed(b.AdminToken)
	}
	watch.dir = b.Dir
	result.Admin = watch.admin
	return result, nil
}

// createSecrets creates the secrets, the business and the API key, and then stores the admin hash, which marks the bootstrap as
// complete.
func (b *Bootstrap) createSecrets(ctx context.Context, ring *keyring.Ring) (s Secrets, adminHash []byte, err error) {
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

// secrets reads the file of an incomplete start, or creates new secrets and writes the file.
func (b *Bootstrap) secrets(ring *keyring.Ring) (Secrets, error) {
	var s Secrets
	path := filepath.Join(b.Dir, BootstrapFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		err = json.Unmarshal(text, &s)
		if err == nil && (s.AdminToken == "" || s.APIKey == "" || s.BusinessID.IsZero()) {
			err = errors.New("a field is missing")
		}
		if err != nil {
			return s, fmt.Errorf("%s cannot be read; move it aside to create new secrets: %w", path, err)
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

// writeSecrets replaces the file atomically.
func writeSecrets(dir, path string, s Secrets) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, BootstrapFile+".*") // created with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails after a successful rename
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

// replaceAdmin replaces the admin token in the secrets file of dir. A missing file is not an error.
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
