//go:build !fault_answer_before_fsync

package embedded

// answerBeforeFsync is a planted fault: a build with it loses messages in a power cut, and the proofs must say so.
const answerBeforeFsync = false
