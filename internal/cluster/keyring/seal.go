package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// The form of a frame:
//
//	frame = version, key id, run, counter, stamp, ciphertext with tag
//
// The version is one byte, the key id 4, the run 16, counter and stamp 8 each, big endian. A run is a random name of one
// Sealer; the key of the cipher is derived from the ring's key, the purpose and the run, and the nonce is the counter. So no
// two frames share a key and a nonce, however many frames a cluster sends. The stamp is in Unix milliseconds: when a
// message was sealed, or when a stored value ends. The header and the context are authenticated.
const (
	frameVersion = 1
	runSize      = 16
	headerSize   = 1 + idSize + runSize + 8 + 8
	tagSize      = 16
)

// Overhead is how much longer a frame is than its text, in bytes.
const Overhead = headerSize + tagSize

// Freshness is how far the stamp of a message may be from the receiver's clock, in both directions. It bounds how long a
// frame can be held back, and how far the clocks of nodes may differ.
const Freshness = 2 * time.Minute

// Errors of Open.
var (
	ErrForged   = errors.New("the frame was not made by a node of this cluster, for this place")
	ErrStale    = errors.New("the frame is too old, or the clocks of the nodes differ too much")
	ErrRepeated = errors.New("the frame came before")
)

// Sealer seals for one purpose and opens what sealers of the same purpose on other nodes have sealed.
type Sealer struct {
	ring    *Ring
	purpose string
	run     [runSize]byte
	started int64 // Unix milliseconds; a message that was sealed before is not for this run of the node
	counter atomic.Uint64
	own     atomic.Pointer[ownCipher]
	peers   peers
}

// ownCipher is the cipher of this sealer under one key of the ring.
type ownCipher struct {
	key    *member
	header [1 + idSize + runSize]byte
	aead   cipher.AEAD
}

// Sealer returns a sealer for a purpose. Sealers of the same purpose in one process count apart.
func (r *Ring) Sealer(purpose string) *Sealer {
	s := &Sealer{ring: r, purpose: purpose, started: r.now().UnixMilli()}
	_, _ = rand.Read(s.run[:]) // crypto/rand.Read never fails
	return s
}

// Seal appends a frame that holds the text, for one context: a channel, with the node that listens to it.
func (s *Sealer) Seal(dst []byte, context string, text []byte) []byte {
	return s.seal(dst, context, text, s.ring.now().UnixMilli())
}

// SealUntil appends a frame for OpenStored: it may be opened any number of times until then.
func (s *Sealer) SealUntil(dst []byte, context string, text []byte, until time.Time) []byte {
	return s.seal(dst, context, text, until.UnixMilli())
}

func (s *Sealer) seal(dst []byte, context string, text []byte, stamp int64) []byte {
	own := s.cipher()
	at := len(dst)
	counter := s.counter.Add(1)
	dst = append(dst, own.header[:]...)
	dst = binary.BigEndian.AppendUint64(dst, counter)
	dst = binary.BigEndian.AppendUint64(dst, uint64(stamp))
	r := roomFor(counter, dst[at:], context)
	defer rooms.Put(r)
	return own.aead.Seal(dst, r.nonce[:], text, r.about)
}

// cipher returns that of the key that signs now.
func (s *Sealer) cipher() *ownCipher {
	key := s.ring.signing()
	if own := s.own.Load(); own != nil && own.key == key {
		return own
	}
	own := &ownCipher{key: key, aead: key.cipher(s.purpose, s.run)}
	own.header[0] = frameVersion
	copy(own.header[1:], key.raw[:])
	copy(own.header[1+idSize:], s.run[:])
	s.own.Store(own) // several callers may derive it at once; the counter is shared by all of them
	return own
}

// cipher returns the cipher of a run.
func (m *member) cipher(purpose string, run [runSize]byte) cipher.AEAD {
	block, err := aes.NewCipher(m.Derive("frame "+purpose+" "+string(run[:]), 32))
	if err != nil {
		panic(err) // 32 bytes are a key of AES
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16 bytes
	}
	return aead
}

// room holds the inputs of the cipher apart from the text. It is pooled, because local variables would be allocated for each frame.
type room struct {
	nonce [12]byte
	about []byte // what is authenticated: the header and the context
}

var rooms = sync.Pool{New: func() any { return new(room) }}

func roomFor(counter uint64, header []byte, context string) *room {
	r := rooms.Get().(*room) //nolint:forcetypeassert // New makes no other
	binary.BigEndian.PutUint64(r.nonce[4:], counter)
	r.about = append(append(r.about[:0], header...), context...)
	return r
}

// Open returns the text of a message that Seal has made for the context. It opens each frame once. The text shares the
// frame's memory, which is overwritten.
func (s *Sealer) Open(context string, frame []byte) ([]byte, error) {
	text, f, err := s.open(context, frame)
	if err != nil {
		return nil, err
	}
	now := s.ring.now().UnixMilli()
	if f.stamp < s.started || f.stamp < now-Freshness.Milliseconds() || f.stamp > now+Freshness.Milliseconds() {
		return nil, ErrStale
	}
	if !s.peers.first(f.peer, f.counter, now) {
		return nil, ErrRepeated
	}
	return text, nil
}

// OpenStored returns the text of a frame that SealUntil has made for the context, until its time. The text shares the
// frame's memory, which is overwritten.
func (s *Sealer) OpenStored(context string, frame []byte) ([]byte, error) {
	text, f, err := s.open(context, frame)
	if err != nil {
		return nil, err
	}
	now := s.ring.now().UnixMilli()
	if f.stamp <= now {
		return nil, ErrStale
	}
	s.peers.seen(f.peer, now)
	return text, nil
}

// opened is the header of a frame that was authenticated.
type opened struct {
	peer    *peer
	counter uint64
	stamp   int64
}

func (s *Sealer) open(context string, frame []byte) (text []byte, f opened, err error) {
	if len(frame) < Overhead || frame[0] != frameVersion {
		return nil, f, ErrForged
	}
	name := peerName{run: [runSize]byte(frame[1+idSize:])}
	copy(name.key[:], frame[1:])
	key := s.ring.find(name.key)
	if key == nil {
		return nil, f, ErrForged
	}
	f.peer = s.peers.find(name)
	if f.peer == nil {
		f.peer = &peer{name: name, aead: key.cipher(s.purpose, name.run)}
	}
	f.counter = binary.BigEndian.Uint64(frame[1+idSize+runSize:])
	f.stamp = int64(binary.BigEndian.Uint64(frame[headerSize-8:]))
	r := roomFor(f.counter, frame[:headerSize], context)
	defer rooms.Put(r)
	sealed := frame[headerSize:]
	if text, err = f.peer.aead.Open(sealed[:0], r.nonce[:], sealed, r.about); err != nil {
		return nil, f, ErrForged
	}
	return text, f, nil
}

// peers holds the sealers whose frames were accepted. Only an authenticated frame adds one, so an attacker cannot fill it.
type peers struct {
	mu  sync.Mutex
	all map[peerName]*peer
}

type peerName struct {
	key [idSize]byte
	run [runSize]byte
}

type peer struct {
	name   peerName
	aead   cipher.AEAD
	last   int64 // Unix milliseconds of the newest frame; guarded by peers.mu
	window window
}

// maxPeers bounds the peers, which take up to 8 KiB each. Beyond it the one that was silent longest is forgotten.
const maxPeers = 1024

func (p *peers) find(name peerName) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[name]
}

// first reports whether the counter of a peer came for the first time, and remembers it.
func (p *peers) first(from *peer, counter uint64, now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keepLocked(from, now).window.add(counter)
}

// seen keeps the cipher of a peer.
func (p *peers) seen(from *peer, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keepLocked(from, now)
}

func (p *peers) keepLocked(from *peer, now int64) *peer {
	if known := p.all[from.name]; known != nil {
		known.last = now
		return known
	}
	if p.all == nil {
		p.all = make(map[peerName]*peer)
	}
	p.forgetLocked(now)
	from.last = now
	p.all[from.name] = from
	return from
}

// forgetLocked drops the peers that were silent for so long that their old frames are stale, and one more if there are too many.
func (p *peers) forgetLocked(now int64) {
	var oldest *peer
	for name, peer := range p.all {
		if peer.last < now-2*Freshness.Milliseconds() {
			delete(p.all, name)
		} else if oldest == nil || peer.last < oldest.last {
			oldest = peer
		}
	}
	if len(p.all) >= maxPeers {
		delete(p.all, oldest.name)
	}
}
