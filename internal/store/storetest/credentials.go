package storetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/esh3artech/esh3ar"
)

var credentialTests = map[string]func(*fixture){
	"SwapSetting: replaces only the expected value": func(f *fixture) {
		f.wantCode(f.Store.SwapSetting(f.ctx, "ring", nil, []byte("a")), esh3ar.InUse, "swap of an unknown setting")
		_, err := f.Store.InitSetting(f.ctx, "ring", []byte("a"))
		f.ok(err, "setting once")
		f.ok(f.Store.SwapSetting(f.ctx, "ring", []byte("a"), []byte("b")), "swap")
		f.wantCode(f.Store.SwapSetting(f.ctx, "ring", []byte("a"), []byte("c")), esh3ar.InUse, "swap of an outdated value")
		got, err := f.Store.Setting(f.ctx, "ring")
		f.ok(err, "setting")
		want(f, string(got), "b", "setting")
		got, err = f.Store.InitSetting(f.ctx, "ring", []byte("d"))
		f.ok(err, "setting once")
		want(f, string(got), "b", "setting once after the swap")
	},
	"concurrent swaps: one succeeds": func(f *fixture) {
		_, err := f.Store.InitSetting(f.ctx, "ring", []byte("0"))
		f.ok(err, "setting once")
		won := make([]bool, 8)
		var group sync.WaitGroup
		for i := range won {
			group.Go(func() { won[i] = f.Store.SwapSetting(f.ctx, "ring", []byte("0"), fmt.Append(nil, "by ", i)) == nil })
		}
		group.Wait()
		winner := slices.Index(won, true)
		want(f, winner >= 0 && !slices.Contains(won[winner+1:], true), true, "exactly one swap succeeded")
		got, err := f.Store.Setting(f.ctx, "ring")
		f.ok(err, "setting")
		want(f, string(got), fmt.Sprint("by ", winner), "setting")
	},
	"revocations: newest per device, by version": func(f *fixture) {
		none, err := f.Store.RevokedTokens(f.ctx, 0, 10)
		f.ok(err, "revoked")
		want(f, len(none), 0, "revocations of a new store")
		for i, r := range []esh3ar.Revocation{
			{Recipient: 967771234567, Device: "a", At: 1000},
			{Recipient: 967771234567, At: 2000},
			{Recipient: 49, Device: "جهاز", At: 3000},
			{Recipient: 967771234567, Device: "a", At: 4000}, // replaces the first one
		} {
			version, err := f.Store.RevokeTokens(f.ctx, r)
			f.ok(err, "revoke")
			want(f, version, uint64(i+1), "version")
		}
		wantRevoked(f, 0, 10, 2, 3, 4)
		wantRevoked(f, 0, 2, 2, 3)
		wantRevoked(f, 3, 10, 4)
		wantRevoked(f, 4, 10)
		all, err := f.Store.RevokedTokens(f.ctx, 2, 1)
		f.ok(err, "revoked")
		want(f, all[0], esh3ar.Revocation{Version: 3, Recipient: 49, Device: "جهاز", At: 3000}, "revocation")
		for more := true; more; {
			more, err = f.Store.DeleteRevocations(f.ctx, 3000)
			f.ok(err, "forget")
		}
		wantRevoked(f, 0, 10, 3, 4)
		version, err := f.Store.RevokeTokens(f.ctx, esh3ar.Revocation{Recipient: 1, At: 5000})
		f.ok(err, "revoke afterwards")
		want(f, version, uint64(5), "version after deletion of old ones")
	},
	"concurrent revocations: versions are dense": func(f *fixture) {
		const writers, each = 4, 10
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				for j := range each {
					r := esh3ar.Revocation{Recipient: esh3ar.Recipient(i + 1), Device: fmt.Sprint(j), At: 1}
					if _, err := f.Store.RevokeTokens(f.ctx, r); err != nil {
						f.Errorf("revoke: %v", err)
					}
				}
			})
		}
		defer group.Wait()
		seen := uint64(0)
		for seen < writers*each {
			some, err := f.Store.RevokedTokens(f.ctx, seen, 3)
			f.ok(err, "revoked")
			for _, r := range some {
				want(f, r.Version, seen+1, "the next version")
				seen = r.Version
			}
			if f.Failed() {
				break
			}
		}
	},
}

// wantRevoked checks the versions that RevokedTokens returns.
func wantRevoked(f *fixture, after uint64, limit int, versions ...uint64) {
	f.Helper()
	all, err := f.Store.RevokedTokens(f.ctx, after, limit)
	f.ok(err, "revoked")
	var got []uint64
	for _, r := range all {
		got = append(got, r.Version)
	}
	want(f, fmt.Sprint(got), fmt.Sprint(versions), fmt.Sprintf("versions after %d", after))
}
