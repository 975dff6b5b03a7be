// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * kill-at N WHO COMMAND...: run COMMAND, and kill it by SIGKILL where it is about to make its Nth system call that changes
 * anything. The call itself is not made any more. WHO is `main` (the process that was started), `writer` (those that it
 * started; then only their calls count) or `all`. With `interrupt` the process that was started gets a SIGINT before its
 * own Nth call instead, and goes on; how it ended is the last line on stderr: `ended with STATUS`.
 *
 * What counts is what others can see afterwards: fsync, mkdir, fork and exit do not, the states around them are the same.
 * Counting begins with the first rename: until the journal has its name nothing has happened. With KILL_AT_START set it
 * begins at once, and locks count, too: for commands that have no journal. This way every point at which an operation can
 * die is found by counting up, with no hook in the program itself.
 *
 * Ends with 0 if it killed or interrupted, 3 if the command ended first, 4 if WHO was not there to be killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 256

static pid_t tracees[MOST];
static int count;

static void know(pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (tracees[i] == pid)
			return;
	if (count == MOST)
		exit(99);
	tracees[count++] = pid;
}

/* The calls that stop a tracee; all others go on at full speed. */
static void filter_calls(void)
{
	static const unsigned int calls[] = {
		SYS_write, SYS_pwrite64, SYS_unlink, SYS_unlinkat, SYS_execve, SYS_rename, SYS_renameat, SYS_renameat2,
		SYS_flock,
	};
	enum { CALLS = sizeof(calls) / sizeof(*calls) };
	struct sock_filter code[CALLS + 3];

	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < CALLS; i++)
		code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], CALLS - i, 0);
	code[CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[CALLS + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	struct sock_fprog program = { CALLS + 3, code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(126);
}

/* Whether the stopped tracee is about to change something; counting begins with the first rename. */
static int changes(pid_t pid)
{
	static int counting;
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, 0, &regs))
		return 0;
	long call = regs.orig_rax;
	if (getenv("KILL_AT_START"))
		return call != SYS_write || regs.rdi > 2 || pid != tracees[0];
	if (call == SYS_flock)
		return 0;
	counting |= call == SYS_rename || call == SYS_renameat || call == SYS_renameat2;
	/* What is only printed changes nothing. */
	return counting && (call != SYS_write || regs.rdi > 2);
}

/* Whether this process's calls count. */
static int is_counted(const char *who, pid_t pid, pid_t first)
{
	if (strcmp(who, "writer") == 0)
		return pid != first;
	return strcmp(who, "interrupt") != 0 || pid == first;
}

static int kill_them(const char *who, pid_t first)
{
	int killed = 0;

	if (strcmp(who, "interrupt") == 0)
		return kill(first, SIGINT) == 0;
	for (int i = 0; i < count; i++) {
		int is_main = tracees[i] == first;
		if (strcmp(who, "all") == 0 || (strcmp(who, "main") == 0 && is_main) || (strcmp(who, "writer") == 0 && !is_main))
			killed |= kill(tracees[i], SIGKILL) == 0;
	}
	return killed;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	long wanted = atol(argv[1]), seen = 0;
	const char *who = argv[2];
	pid_t first = fork();

	if (first == 0) {
		/* A shell has what it runs in the background ignore it. */
		signal(SIGINT, SIG_DFL);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		filter_calls();
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	int status;
	if (waitpid(first, &status, 0) != first)
		return 99;
	know(first);
	ptrace(PTRACE_SETOPTIONS, first, 0,
	       PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	ptrace(PTRACE_CONT, first, 0, 0);

	/* Whoever is not killed is seen through to its end: without a tracer the filter would refuse its calls. */
	int result = 3, ended = 0;
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == ECHILD && strcmp(who, "interrupt") == 0)
			fprintf(stderr, "ended with %d\n", ended);
		if (pid < 0)
			return errno == ECHILD ? result : 99;
		know(pid);
		if (!WIFSTOPPED(status)) {
			if (pid == first)
				ended = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		int signal = WSTOPSIG(status);
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			int counts = changes(pid) && is_counted(who, pid, first);
			if (result == 3 && counts && ++seen == wanted)
				result = kill_them(who, first) ? 0 : 4;
			signal = 0;
		} else if (signal == SIGTRAP || signal == SIGSTOP) {
			signal = 0;
		}
		ptrace(PTRACE_CONT, pid, 0, signal);
	}
}
