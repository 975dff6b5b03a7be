// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * kill-at N WHO COMMAND...: run COMMAND, and kill it by SIGKILL where it is about to make its Nth system call that changes
 * anything. The call itself is not made any more. WHO is `main` (the process that was started), `helper` (those that it
 * started; then only their calls count) or `all`.
 *
 * Counting begins with the first rename: until the journal has its name nothing has happened. This way every point at
 * which an operation can die is found by counting up, with no hook in the program itself.
 *
 * Ends with 0 if it killed, 3 if the command ended first, 4 if WHO was not there to be killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 256

static pid_t tracees[MOST];
static int inside[MOST]; /* in a system call, so that the next stop is its exit */
static int count;

static int find(pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (tracees[i] == pid)
			return i;
	if (count == MOST)
		exit(99);
	tracees[count] = pid;
	inside[count] = 0;
	return count++;
}

static int is_rename(long number)
{
	return number == SYS_rename || number == SYS_renameat || number == SYS_renameat2;
}

static int changes(const struct user_regs_struct *regs)
{
	long number = regs->orig_rax;

	switch (number) {
	case SYS_write:
		return regs->rdi > 2; /* what is only printed changes nothing */
	/* Not fsync: to whoever lives on, a file is the same before it and after. */
	case SYS_pwrite64: case SYS_ftruncate: case SYS_fallocate:
	case SYS_unlink: case SYS_unlinkat: case SYS_mkdir: case SYS_mkdirat: case SYS_clone: case SYS_clone3:
	case SYS_fork: case SYS_vfork: case SYS_execve: case SYS_exit_group:
		return 1;
	}
	return is_rename(number);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	long wanted = atol(argv[1]), seen = 0;
	const char *who = argv[2];
	int counting = 0;
	pid_t first = fork();

	if (first == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	int status;
	if (waitpid(first, &status, 0) != first)
		return 99;
	find(first);
	ptrace(PTRACE_SETOPTIONS, first, 0,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, first, 0, 0);

	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0)
			return errno == ECHILD ? 3 : 99;
		int i = find(pid);
		if (WIFEXITED(status) || WIFSIGNALED(status))
			continue;
		int signal = WSTOPSIG(status);
		if (signal == (SIGTRAP | 0x80)) {
			struct user_regs_struct regs;
			inside[i] = !inside[i];
			if (inside[i] && ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0) {
				long number = regs.orig_rax;
				counting |= is_rename(number);
				int counts = pid != first || strcmp(who, "helper") != 0;
				if (counting && counts && changes(&regs) && ++seen == wanted)
					break;
			}
			signal = 0;
		} else if (signal == SIGTRAP || signal == SIGSTOP) {
			signal = 0;
		}
		ptrace(PTRACE_SYSCALL, pid, 0, signal);
	}

	/* The tracee that is about to make the call is stopped; the others may be running. */
	int killed = 0;
	for (int i = 0; i < count; i++) {
		int is_main = tracees[i] == first;
		if (strcmp(who, "all") == 0 || (strcmp(who, "main") == 0 && is_main) || (strcmp(who, "helper") == 0 && !is_main))
			killed |= kill(tracees[i], SIGKILL) == 0;
	}
	/* Whoever was not killed goes on without being watched. */
	for (int i = 0; i < count; i++)
		ptrace(PTRACE_DETACH, tracees[i], 0, 0);
	/* A tracee that was running is detached only when it stops: see all of them through to their end. */
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0)
			break;
		if (WIFSTOPPED(status))
			ptrace(PTRACE_DETACH, pid, 0, 0);
	}
	return killed ? 0 : 4;
}
