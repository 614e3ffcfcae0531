package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// proof is a test or a tool that must fail when a fault is planted.
type proof struct {
	program string // key of programs
	args    []string
	says    string // regular expression that its output must match: a failure for another reason does not count
}

// programs are what is built with the tag; the folder is where a test binary runs.
var programs = map[string]struct{ build, folder string }{
	"delivery": {"../internal/delivery", "../internal/delivery"},
	"store":    {"../internal/store/embedded", "../internal/store/embedded"},
	"notify":   {"../internal/eventfeed", "../internal/eventfeed"},
	"route":    {"../internal/cluster/presence", "../internal/cluster/presence"},
	"intake":   {"../internal/ingest", "../internal/ingest"},
	"spill":    {"../internal/ingest/spill", "../internal/ingest/spill"},
	"postgres": {"../internal/store/postgres", "../internal/store/postgres"},
	"esh3ar":   {"../cmd/esh3ar", "."},
}

func simulation(says string) proof {
	return proof{"delivery", []string{"-test.run", "^TestSimulation$"}, says}
}

func suite(run, says string) proof {
	return proof{"store", []string{"-test.short", "-test.run", run}, says}
}

// wentBack matches the failure text of a power-cut test in which an observed message or status was lost.
const wentBack = "was seen before the power failure, now|(version|seq) was [0-9]+, now|event at [0-9a-f]+ was|got version [0-9]+, want"

// proofs maps every fault to its proof.
var proofs = map[faultinject.Fault]proof{
	faultinject.AnswerBeforeFsync:    suite("^TestStore_KillOnVolatileDisk_KeepsAcknowledged$", "acknowledged messages are missing"),
	faultinject.PublishBeforeCommit:  suite("^TestStore_PowerFailure_LosesNothingObserved$", wentBack),
	faultinject.ReaderPastSync:       suite("^TestStore_PowerFailure_LosesNothingObserved$", wentBack),
	faultinject.SeqReused:            suite("^TestStore/durability", "next seq: got"),
	faultinject.KeyForgotten:         suite("^TestStore/keys", "repeated_key_in"),
	faultinject.HalfABatch:           suite("^TestStore/append", "seq of the second call: got 2, want 3"),
	faultinject.SettleWithoutEvent:   suite("^TestStore/events", "events"),
	faultinject.EventsTurnedAround:   suite("^TestStore/dead_letters", "dead letters: got 1, want 0"),
	faultinject.LeaseIgnored:         suite("^TestStore/tasks", "applied with a lost lease"),
	faultinject.PurgeUnfinished:      suite("^TestStore/janitor", "purged: got"),
	faultinject.ReplayOutsideTheLane: suite("^TestStore/dead_letters", "got seqs"),
	faultinject.ExpiredPushed:        simulation("was pushed after its time"),
	faultinject.CursorTooFar:         simulation("received false: lost"),
	faultinject.SweepOff:             simulation("never pushed there"),
	faultinject.RetryForgets:         simulation("was repeated as attempt"),
	faultinject.DeadSocketSpends:     simulation("without a sign of life"),
	faultinject.BreakerStuck:         simulation("never pushed there"),
	faultinject.AckBeforeCommit:      simulation("was completed and is not durable"),
	faultinject.OrderLost:            simulation("never pushed there"),
	faultinject.LogPastRunning:       {"postgres", []string{"-test.run", "^TestEvents_OlderTransactionRunning_StopBeforeIt$"}, "while the transaction runs"},
	faultinject.StreamSkips:          {"notify", []string{"-test.run", "^TestStream_QueueFull_ReadsTheLogAgain$"}, "after 2 events"},
	faultinject.HintIsTruth:          simulation("never pushed there"),
	faultinject.HintBelieved:         simulation("has no end of events"),
	faultinject.AbsentTrusted:        simulation("is called absent, and presence had not answered"),
	faultinject.StaleEntryKept:       simulation("does not hold it, and still says that it does"),
	faultinject.HopsForgotten:        {"route", []string{"-test.run", "^TestRouter_MisroutedHint_StopsAtHopLimit$"}, "one hint was sent [0-9]+ times"},
	faultinject.MarksForgotten:       simulation("holds .* and does not say so"),
	faultinject.GapLeftOpen:          simulation("never pushed there"),
	faultinject.RemoteEndIgnored:     simulation("and still fills the window"),
	faultinject.WalkAlone:            {"delivery", []string{"-test.run", "^TestStaleWalk_RecipientOnOtherNode_StaysQueued$"}, "there is pending"},
	faultinject.SpillBeforeFsync:     {"spill", []string{"-test.run", "^TestAppend_PowerCutAfterAnswer_KeepsCall$"}, "after the cut"},
	faultinject.SpillForgets:         {"spill", []string{"-test.run", "^TestDrain_UnknownOutcome_SendsAgain$"}, "got 0 calls"},
	faultinject.SpillOvertaken:       {"intake", []string{"-test.run", "^TestIntake_RecipientInSpill_SpillsLaterCall$"}, "past the spill"},
	faultinject.FenceIgnored:         {"postgres", []string{"-test.run", "^TestStore/tasks"}, "applied with a lost lease"},
	faultinject.DrainIgnoresKeys:     {"postgres", []string{"-test.run", "^TestStore/drained"}, "reason: got , want duplicate"},
}

// TestEveryPlantedFaultIsCaught checks that each proof passes in a build with the tag and no fault, and fails for the
// right reason with its fault.
func TestEveryPlantedFaultIsCaught(t *testing.T) {
	built := buildPlanted(t)
	green := map[string]bool{} // without a fault, by program and arguments
	for _, fault := range faultinject.All() {
		p, ok := proofs[fault]
		if !ok {
			t.Errorf("%s has no proof", fault)
			continue
		}
		t.Run(string(fault), func(t *testing.T) {
			if run := fmt.Sprint(p.program, p.args); !green[run] {
				if out, err := runPlanted(t, built, p, ""); err != nil {
					t.Fatalf("red without a fault: %v\n%s", err, out)
				}
				green[run] = true
			}
			out, err := runPlanted(t, built, p, fault)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !regexp.MustCompile(p.says).MatchString(out) {
				t.Errorf("not caught, or not for the right reason (%q): %v\n%.4000s", p.says, err, out)
			}
		})
	}
}

// soonAway runs torture on a cluster with a seed that kills PostgreSQL first, and two nodes during the outage.
var soonAway = []string{"--cluster", "--seed", "2704", "--kills", "3"}

// TestTortureCatchesPlantedFaults plants faults in nodes under torture, which must detect them from client observations
// alone. Detection is random, so each fault has three runs: in a run with a long outage of PostgreSQL, for example, no
// message can be overtaken.
func TestTortureCatchesPlantedFaults(t *testing.T) {
	built := buildPlanted(t)
	for _, c := range []struct {
		fault faultinject.Fault
		args  []string
		says  string
	}{
		{faultinject.AnswerBeforeFsync, []string{"--kills", "3", "--power-cuts"}, `(?m)^LOST +[1-9]`},
		{faultinject.KeyForgotten, []string{"--kills", "2"}, `(?m)^promises broken +[1-9]`},
		{faultinject.SettleWithoutEvent, []string{"--kills", "1"}, "before version|saw [0-9]+ of [0-9]+ events"},
		{faultinject.SpillForgets, soonAway, `(?m)^LOST +[1-9]`},
		{faultinject.SpillOvertaken, soonAway, "overtook message"},
		{faultinject.DrainIgnoresKeys, soonAway, "owned by two calls|stored 2 times"},
		{faultinject.SpillBeforeFsync, append(soonAway, "--power-cuts"), `(?m)^LOST +[1-9]`},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			var out string
			var err error
			for range 3 {
				p := proof{program: "esh3ar", args: append([]string{"torture", "--keep", filepath.Join(t.TempDir(), "kept")}, c.args...)}
				if out, err = runPlanted(t, built, p, c.fault); err != nil {
					break
				}
				t.Logf("every promise was kept:\n%.4000s", out)
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !regexp.MustCompile(c.says).MatchString(out) || !strings.Contains(out, "verdict: BROKEN") {
				t.Errorf("not caught, or not for the right reason (%q): %v\n%.4000s", c.says, err, out)
			}
		})
	}
}

func buildPlanted(t *testing.T) map[string]string {
	t.Helper()
	built, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// buildOnce builds all programs with the tag.
var buildOnce = sync.OnceValues(func() (map[string]string, error) {
	built := map[string]string{}
	for name, p := range programs {
		built[name] = filepath.Join(filepath.Dir(binary), "planted", name)
		args := []string{"test", "-c", "-tags", "plantedfaults", "-o", built[name], p.build}
		if name == "esh3ar" {
			args = []string{"build", "-tags", "plantedfaults", "-o", built[name], p.build}
		}
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return built, nil
})

func runPlanted(t *testing.T, built map[string]string, p proof, fault faultinject.Fault) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, built[p.program], p.args...)
	cmd.Dir = programs[p.program].folder
	cmd.Env = append(os.Environ(), faultinject.Variable+"="+string(fault))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
