package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/nodeproc"
)

// Options say how to torture.
type Options struct {
	Binary    string
	Kills     int           // how often; 0: until Time is over
	Time      time.Duration // at most; 0: until Kills are done
	Seed      uint64        // of all choices; the interleaving is the system's
	PowerCuts bool          // kill -9 also loses what was not fsynced
	Senders   int
	Phones    int // recipients; every third has two devices
	Flags     []string
	Keep      string // folder for data and ledger; empty: a temporary one, kept only when a promise was broken
}

// run is one run.
type run struct {
	Options
	ledger  *Ledger
	node    *nodeproc.Node
	listen  string
	secrets nodeproc.Secrets
	out     io.Writer

	down   sync.RWMutex    // held for writing while the node is down: keyed retries wait for it
	ending context.Context //nolint:containedctx // a signal: done when phones acknowledge everything at once
	end    context.CancelFunc
}

// Run tortures a node and judges. The error says that it could not; a broken promise is in the verdict.
func Run(ctx context.Context, o Options, out io.Writer) (v Verdict, err error) {
	dir := o.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "esh3ar-torture-*"); err != nil {
			return v, err
		}
	}
	r := &run{Options: o, out: out}
	r.ending, r.end = context.WithCancel(ctx)
	defer r.end()
	if r.ledger, err = NewLedger(filepath.Join(dir, "ledger.jsonl")); err != nil {
		return v, err
	}
	if r.listen, err = nodeproc.FreePort(); err != nil {
		return v, err
	}
	data := filepath.Join(dir, "data")
	err = r.torture(ctx, data)
	v = Judge(r.ledger.Entries())
	err = errors.Join(err, r.ledger.Close())
	if o.Keep == "" && err == nil && v.Clean() {
		return v, os.RemoveAll(dir)
	}
	fmt.Fprintf(out, "data and ledger are kept in %s\n", dir)
	return v, err
}

// start starts the node, or starts it again.
func (r *run) start(ctx context.Context, data string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	flags := append([]string{"--log-level", "error"}, r.Flags...)
	if r.PowerCuts {
		flags = append(flags, "--simulate-power-cuts")
	}
	if r.node, err = nodeproc.Start(ctx, nodeproc.Config{Binary: r.Binary, DataDir: data, Listen: r.listen, Flags: flags}); err != nil {
		return err
	}
	r.secrets, err = nodeproc.ReadSecrets(data)
	return err
}

func (r *run) torture(ctx context.Context, data string) error {
	if err := r.start(ctx, data); err != nil {
		return err
	}
	defer func() { _ = r.node.Kill() }() // ended already when all went well
	senderCtx, stopSenders := context.WithCancel(ctx)
	phoneCtx, stopPhones := context.WithCancel(ctx)
	defer stopSenders()
	defer stopPhones()
	var senders, phones sync.WaitGroup
	for i := range r.Senders {
		senders.Go(func() { r.send(senderCtx, rand.New(rand.NewPCG(r.Seed, uint64(i))), i) })
	}
	for i := range r.Phones {
		phones.Go(func() { r.phone(phoneCtx, rand.New(rand.NewPCG(r.Seed, uint64(1000+i))), i) })
		if i%3 == 0 {
			phones.Go(func() { r.phone(phoneCtx, rand.New(rand.NewPCG(r.Seed, uint64(2000+i))), i) })
		}
	}
	err := r.kill(ctx, data)
	stopSenders()
	senders.Wait()
	r.end()
	if err == nil {
		err = r.rest(ctx)
	}
	if err == nil {
		err = r.final(ctx)
	}
	stopPhones()
	phones.Wait()
	return errors.Join(err, r.node.Stop())
}

// kill ends the node at random moments and starts it again.
func (r *run) kill(ctx context.Context, data string) error {
	random := rand.New(rand.NewPCG(r.Seed, 7))
	began := time.Now()
	for kills := 0; (r.Kills == 0 || kills < r.Kills) && (r.Time == 0 || time.Since(began) < r.Time); kills++ {
		if err := sleep(ctx, time.Duration(100+random.IntN(900))*time.Millisecond); err != nil {
			return err
		}
		r.down.Lock()
		err := r.node.Kill()
		r.ledger.Note(Entry{Kind: Killed})
		if err == nil {
			err = r.start(ctx, data)
		}
		r.down.Unlock()
		if err != nil {
			return fmt.Errorf("after kill %d: %w", kills+1, err)
		}
		if (kills+1)%10 == 0 {
			v := Judge(r.ledger.Entries())
			fmt.Fprintf(r.out, "%d kills: %d accepted, %d received, %d repeats, %d without an answer\n", v.Kills, v.Accepted, v.Received, v.Repeats, v.Unknown)
		}
	}
	return nil
}

// rest waits until everything accepted was received, as long as something still comes.
func (r *run) rest(ctx context.Context) error {
	best := r.ledger.missing()
	for still := 0; still < 200; still++ {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		now := r.ledger.missing()
		if now == 0 {
			return nil
		}
		if now < best {
			best, still = now, 0
		}
	}
	return nil // the verdict names what is missing
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
