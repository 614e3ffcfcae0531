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

// stepBack lets a process have the CPU that this one leaves. Else a load beyond the capacity takes its CPU from what it should
// measure, and nobody knows which of both was the bound. Threads that the process makes later have the niceness of those that make
// them.
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
			return fmt.Errorf("niceness of the server: %w", err)
		}
	}
	return nil
}
