package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// serverNice is how far the server steps back before its load: from five on its weight is a third or less of the load's (sched(7)).
const serverNice = 2

// stepBack lowers the priority of the server below that of this process. Otherwise a load above the capacity loses CPU
// to the server, and the measurement cannot show which of them was the bottleneck. New threads inherit the niceness of
// their creator.
func stepBack(pid int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	nice := 20 - own + serverNice // the system call answers 20 less the niceness (getpriority(2))
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, min(nice, 19)); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("set the niceness of the server: %w", err)
		}
	}
	return nil
}
