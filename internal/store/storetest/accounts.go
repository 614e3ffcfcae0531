package storetest

import (
	"fmt"
	"sync"

	"github.com/esh3artech/esh3ar"
)

var accountTests = map[string]func(*fixture){
	"businesses": func(f *fixture) {
		b := esh3ar.Business{ID: f.business, Name: "متجر", Plan: "gold", CreatedAt: f.now()}
		_, err := f.Store.Business(f.ctx, b.ID)
		f.wantCode(err, esh3ar.NotFound, "business before its creation")
		f.ok(f.Store.CreateBusiness(f.ctx, b), "create")
		got, err := f.Store.Business(f.ctx, b.ID)
		f.ok(err, "business")
		want(f, got, b, "business")
	},
	"keys": func(f *fixture) {
		k := createAccount(f)
		got, err := f.Store.KeyByHash(f.ctx, k.Hash)
		f.ok(err, "key by hash")
		want(f, got, k, "key")
		_, err = f.Store.KeyByHash(f.ctx, esh3ar.KeyHash{9})
		f.wantCode(err, esh3ar.NotFound, "unknown hash")
		orphan := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: esh3ar.NewBusinessID(), Hash: esh3ar.KeyHash{2}}
		f.wantCode(f.Store.CreateKey(f.ctx, orphan), esh3ar.NotFound, "key of an unknown business")
		_, err = f.Store.KeyByHash(f.ctx, orphan.Hash)
		f.wantCode(err, esh3ar.NotFound, "rejected key")
	},
	"revoked twice: the first time stays": func(f *fixture) {
		k := createAccount(f)
		at := f.now() + 5
		f.wantCode(f.Store.RevokeKey(f.ctx, esh3ar.NewBusinessID(), k.ID, at), esh3ar.NotFound, "revoke by another business")
		f.wantCode(f.Store.RevokeKey(f.ctx, k.Business, esh3ar.NewKeyID(), at), esh3ar.NotFound, "unknown key")
		f.ok(f.Store.RevokeKey(f.ctx, k.Business, k.ID, at), "revoke")
		f.ok(f.Store.RevokeKey(f.ctx, k.Business, k.ID, at+10), "revoke again")
		got, err := f.Store.KeyByHash(f.ctx, k.Hash)
		f.ok(err, "key by hash")
		want(f, got.RevokedAt, at, "revoked at")
	},
	"concurrent revocations: all callers see the same time": func(f *fixture) {
		k := createAccount(f)
		seen := make([]esh3ar.Time, 8)
		var group sync.WaitGroup
		for i := range seen {
			group.Go(func() {
				if err := f.Store.RevokeKey(f.ctx, k.Business, k.ID, esh3ar.Time(i+1)); err != nil {
					f.Errorf("revoke: %v", err)
				}
				got, err := f.Store.KeyByHash(f.ctx, k.Hash)
				if err != nil {
					f.Errorf("key by hash: %v", err)
				}
				seen[i] = got.RevokedAt
			})
		}
		group.Wait()
		for _, at := range seen {
			want(f, at, seen[0], "revoked at, as seen by another caller")
		}
	},
	"setting: is read as written": func(f *fixture) {
		_, err := f.Store.Setting(f.ctx, "mark")
		f.wantCode(err, esh3ar.NotFound, "setting before its creation")
		_, err = f.Store.InitSetting(f.ctx, "mark", []byte("v"))
		f.ok(err, "setting once")
		got, err := f.Store.Setting(f.ctx, "mark")
		f.ok(err, "setting")
		want(f, string(got), "v", "setting")
	},
	"concurrent SettingOnce: all get the first value": func(f *fixture) {
		const writers = 8
		got := make([]string, writers)
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				stored, err := f.Store.InitSetting(f.ctx, "signing-key", fmt.Append(nil, "value ", i))
				if err != nil {
					f.Errorf("setting: %v", err)
				}
				got[i] = string(stored)
				clear(stored) // the caller may modify the slice
			})
		}
		group.Wait()
		for i := range got {
			want(f, got[i], got[0], "setting")
		}
		stored, err := f.Store.InitSetting(f.ctx, "signing-key", []byte("late"))
		f.ok(err, "setting")
		want(f, string(stored), got[0], "setting later")
		stored, err = f.Store.InitSetting(f.ctx, "signing-key-2", nil)
		f.ok(err, "setting")
		want(f, string(stored), "", "empty setting whose name is longer than another")
		stored, err = f.Store.InitSetting(f.ctx, "signing-key-2", []byte("x"))
		f.ok(err, "setting")
		want(f, string(stored), "", "empty setting is not overwritten")
	},
}

// createAccount creates the fixture's business and an API key of it.
func createAccount(f *fixture) esh3ar.APIKey {
	f.Helper()
	f.ok(f.Store.CreateBusiness(f.ctx, esh3ar.Business{ID: f.business, Name: "n", CreatedAt: f.now()}), "create business")
	k := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: f.business, Hash: esh3ar.KeyHash{1, 2, 3}, CreatedAt: f.now()}
	f.ok(f.Store.CreateKey(f.ctx, k), "create key")
	return k
}
