// An automatic reconnect that keeps books: how often a client had to try until it was back, how long it was away, and why a
// try failed. Its delays are tried one after the other, the last again and again.
export class Reconnects {
  constructor(delays) {
    this.delays = delays;
  }

  nextRetryDelayInMilliseconds({ previousRetryCount, retryReason }) {
    if (previousRetryCount === 0) {
      this.began = performance.now();
      this.failures = [];
    } else {
      this.failures.push(retryReason.message);
    }
    return this.delays[Math.min(previousRetryCount, this.delays.length - 1)];
  }

  // end is the line to tell when the client is back.
  end() {
    return {
      event: "reconnected",
      tries: this.failures.length + 1,
      tookMilliseconds: Math.round(performance.now() - this.began),
      text: this.failures.join("; "),
    };
  }
}
