// SPDX-License-Identifier: MIT OR Apache-2.0
/* net WHAT ...: network use that busybox cannot make, so that the cases have something to find.
 *
 *   net via [4|6] TABLE DEV...   a default route over all of these, through link-local IPv6 neighbors, in that table
 *   net noroute 4|6 TABLE        take that one away
 *   net hop ID DEV               a next-hop object
 *   net group ID ID ID           a group of two next-hop objects
 *   net through ID               an IPv4 route to 10.50.0.0/16 through a next-hop object
 *   net fill DEV COUNT           so many IPv4 routes
 *   net xdp DEV | noxdp DEV      an XDP program that lets everything pass; taken off again
 *   net rxe NAME DEV             an RDMA device of that name, made of software, on DEV
 *   net listen DEV [promiscuous] a packet socket, until killed; prints "ready"
 *   net vfs DEV                  what DEV keeps for its VFs, a line for each
 *   net vf DEV N vlan ID QOS | trust 0|1 | spoofchk 0|1
 *                                have it keep that for one
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <rdma/rdma_netlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void check(int ok, const char *call) {
    if (!ok) {
        perror(call);
        exit(1);
    }
}

static struct {
    struct nlmsghdr head;
    char body[4096];
} question;

static int asker = -1;

static void begin(int kind, int flags, const void *body, size_t length) {
    memset(&question, 0, sizeof question);
    question.head.nlmsg_type = kind;
    question.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    question.head.nlmsg_len = NLMSG_LENGTH(length);
    memcpy(question.body, body, length);
}

static struct rtattr *add(int kind, const void *value, size_t length) {
    struct rtattr *attribute = (void *)((char *)&question + NLMSG_ALIGN(question.head.nlmsg_len));
    attribute->rta_type = kind;
    attribute->rta_len = RTA_LENGTH(length);
    if (length) memcpy(RTA_DATA(attribute), value, length);
    question.head.nlmsg_len = NLMSG_ALIGN(question.head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
    return attribute;
}

static void ask(void) {
    if (asker < 0) asker = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    check(asker >= 0, "socket");
    check(send(asker, &question, question.head.nlmsg_len, 0) > 0, "send");
    static struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[8192];
    } answer;
    check(recv(asker, &answer, sizeof answer, 0) > 0, "recv");
    errno = -answer.error.error;
    check(answer.head.nlmsg_type == NLMSG_ERROR && errno == 0, "answer");
}

static uint32_t number_of(const char *device) {
    uint32_t number = if_nametoindex(device);
    check(number, device);
    return number;
}

static struct in6_addr neighbor(int number) {
    struct in6_addr address = {{{0xfe, 0x80}}};
    address.s6_addr[15] = number;
    return address;
}

static void begin_route(int kind, int flags, int family, uint32_t table, int length) {
    struct rtmsg route = {.rtm_family = family, .rtm_dst_len = length, .rtm_table = table < 256 ? table : RT_TABLE_UNSPEC,
                          .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
    begin(kind, flags, &route, sizeof route);
    add(RTA_TABLE, &table, sizeof table);
}

static void via(int family, uint32_t table, char **devices) {
    begin_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, family, table, 0);
    struct rtattr *all = add(RTA_MULTIPATH, NULL, 0);
    for (int i = 0; devices[i]; i++) {
        struct rtnexthop *hop = (void *)((char *)&question + NLMSG_ALIGN(question.head.nlmsg_len));
        memset(hop, 0, sizeof *hop);
        hop->rtnh_ifindex = number_of(devices[i]);
        hop->rtnh_flags = RTNH_F_ONLINK;
        question.head.nlmsg_len += sizeof *hop;
        struct in6_addr address = neighbor(i + 1);
        char value[2 + sizeof address];
        memcpy(value, &(uint16_t){AF_INET6}, 2);
        memcpy(value + 2, &address, sizeof address);
        if (family == AF_INET) add(RTA_VIA, value, sizeof value);
        else add(RTA_GATEWAY, &address, sizeof address);
        hop->rtnh_len = (char *)&question + question.head.nlmsg_len - (char *)hop;
    }
    all->rta_len = (char *)&question + question.head.nlmsg_len - (char *)all;
    ask();
}

static void xdp(const char *device, int fd) {
    struct ifinfomsg link = {.ifi_index = number_of(device)};
    begin(RTM_SETLINK, 0, &link, sizeof link);
    struct rtattr *nest = add(IFLA_XDP | NLA_F_NESTED, NULL, 0);
    add(IFLA_XDP_FD, &fd, sizeof fd);
    add(IFLA_XDP_FLAGS, &(uint32_t){XDP_FLAGS_SKB_MODE}, 4);
    nest->rta_len = (char *)&question + question.head.nlmsg_len - (char *)nest;
    ask();
}

static int pass_all(void) {
    struct bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS}, {.code = BPF_JMP | BPF_EXIT}};
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = 2, .insns = (uintptr_t)program,
                           .license = (uintptr_t) "GPL"};
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    check(fd >= 0, "bpf");
    return fd;
}

static void listen_on(const char *device, int promiscuous) {
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    check(fd >= 0, "socket");
    struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = number_of(device)};
    check(bind(fd, (void *)&here, sizeof here) == 0, "bind");
    struct packet_mreq all = {.mr_ifindex = here.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (promiscuous) check(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) == 0, "promiscuous");
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}

/* The value of the first attribute of a kind in a list of them. */
static void *find(void *list, int length, int kind) {
    for (struct rtattr *one = list; RTA_OK(one, length); one = RTA_NEXT(one, length))
        if ((one->rta_type & NLA_TYPE_MASK) == kind) return RTA_DATA(one);
    return NULL;
}

static void vfs(const char *device) {
    static char answer[1 << 16];
    struct ifinfomsg link = {.ifi_index = number_of(device)};
    begin(RTM_GETLINK, 0, &link, sizeof link);
    add(IFLA_EXT_MASK, &(uint32_t){RTEXT_FILTER_VF}, 4);
    asker = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    check(asker >= 0 && send(asker, &question, question.head.nlmsg_len, 0) > 0, "send");
    check(recv(asker, answer, sizeof answer, 0) > 0, "recv");
    struct nlmsghdr *head = (void *)answer;
    void *first = (char *)answer + NLMSG_LENGTH(NLMSG_ALIGN(sizeof link));
    struct rtattr *list = find(first, head->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof link)), IFLA_VFINFO_LIST);
    if (!list) return;
    int length = RTA_PAYLOAD((struct rtattr *)((char *)list - RTA_LENGTH(0)));
    for (struct rtattr *one = list; RTA_OK(one, length); one = RTA_NEXT(one, length)) {
        struct ifla_vf_mac *mac = find(RTA_DATA(one), RTA_PAYLOAD(one), IFLA_VF_MAC);
        struct ifla_vf_vlan *vlan = find(RTA_DATA(one), RTA_PAYLOAD(one), IFLA_VF_VLAN);
        struct ifla_vf_trust *trust = find(RTA_DATA(one), RTA_PAYLOAD(one), IFLA_VF_TRUST);
        struct ifla_vf_spoofchk *spoofchk = find(RTA_DATA(one), RTA_PAYLOAD(one), IFLA_VF_SPOOFCHK);
        check(mac && vlan && trust && spoofchk, "answer");
        printf("vf %u mac ", mac->vf);
        for (int i = 0; i < 6; i++) printf("%02x%s", mac->mac[i], i < 5 ? ":" : "");
        printf(" vlan %u qos %u trust %u spoofchk %u\n", vlan->vlan, vlan->qos, trust->setting, spoofchk->setting);
    }
}

static void vf(const char *device, uint32_t number, char **words) {
    struct ifinfomsg link = {.ifi_index = number_of(device)};
    begin(RTM_SETLINK, 0, &link, sizeof link);
    struct rtattr *list = add(IFLA_VFINFO_LIST, NULL, 0), *info = add(IFLA_VF_INFO, NULL, 0);
    struct ifla_vf_vlan vlan = {number, atoi(words[1]), words[2] ? atoi(words[2]) : 0};
    if (!strcmp(words[0], "vlan")) add(IFLA_VF_VLAN, &vlan, sizeof vlan);
    else add(!strcmp(words[0], "trust") ? IFLA_VF_TRUST : IFLA_VF_SPOOFCHK, &vlan, sizeof(struct ifla_vf_trust));
    info->rta_len = (char *)&question + question.head.nlmsg_len - (char *)info;
    list->rta_len = (char *)&question + question.head.nlmsg_len - (char *)list;
    ask();
}

int main(int count, char **words) {
    const char *what = count > 2 ? words[1] : "";
    char **rest = words + 2;
    if (!strcmp(what, "via") && count > 4) via(*rest[0] == '6' ? AF_INET6 : AF_INET, atoi(rest[1]), rest + 2);
    else if (!strcmp(what, "noroute") && count > 3) {
        begin_route(RTM_DELROUTE, 0, *rest[0] == '6' ? AF_INET6 : AF_INET, atoi(rest[1]), 0);
        ask();
    } else if (!strcmp(what, "hop") && count > 3) {
        struct nhmsg hop = {.nh_family = AF_INET6, .nh_protocol = RTPROT_STATIC};
        struct in6_addr address = neighbor(9);
        begin(RTM_NEWNEXTHOP, NLM_F_CREATE, &hop, sizeof hop);
        add(NHA_ID, &(uint32_t){atoi(rest[0])}, 4);
        add(NHA_OIF, &(uint32_t){number_of(rest[1])}, 4);
        add(NHA_GATEWAY, &address, sizeof address);
        ask();
    } else if (!strcmp(what, "group") && count > 4) {
        struct nhmsg hop = {.nh_protocol = RTPROT_STATIC};
        struct nexthop_grp members[] = {{.id = atoi(rest[1])}, {.id = atoi(rest[2])}};
        begin(RTM_NEWNEXTHOP, NLM_F_CREATE, &hop, sizeof hop);
        add(NHA_ID, &(uint32_t){atoi(rest[0])}, 4);
        add(NHA_GROUP, members, sizeof members);
        ask();
    } else if (!strcmp(what, "through")) {
        begin_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, AF_INET, RT_TABLE_MAIN, 16);
        add(RTA_DST, (unsigned char[]){10, 50, 0, 0}, 4);
        add(RTA_NH_ID, &(uint32_t){atoi(rest[0])}, 4);
        ask();
    } else if (!strcmp(what, "fill") && count > 3) {
        uint32_t device = number_of(rest[0]);
        for (int i = 0; i < atoi(rest[1]); i++) {
            begin_route(RTM_NEWROUTE, NLM_F_CREATE, AF_INET, RT_TABLE_MAIN, 32);
            ((struct rtmsg *)question.body)->rtm_scope = RT_SCOPE_LINK;
            add(RTA_DST, &(uint32_t){htonl(0x0b000000 + i)}, 4);
            add(RTA_OIF, &device, 4);
            ask();
        }
    } else if (!strcmp(what, "xdp")) xdp(rest[0], pass_all());
    else if (!strcmp(what, "rxe") && count > 3) {
        asker = socket(AF_NETLINK, SOCK_RAW, NETLINK_RDMA);
        begin(RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK), 0, "", 0);
        add(RDMA_NLDEV_ATTR_DEV_NAME, rest[0], strlen(rest[0]) + 1);
        add(RDMA_NLDEV_ATTR_LINK_TYPE, "rxe", 4);
        add(RDMA_NLDEV_ATTR_NDEV_NAME, rest[1], strlen(rest[1]) + 1);
        ask();
    } else if (!strcmp(what, "noxdp")) xdp(rest[0], -1);
    else if (!strcmp(what, "vfs")) vfs(rest[0]);
    else if (!strcmp(what, "vf") && count > 5) vf(rest[0], atoi(rest[1]), rest + 2);
    else if (!strcmp(what, "listen")) listen_on(rest[0], count > 3);
    else {
        fputs("usage: see the head of net.c\n", stderr);
        return 2;
    }
    return 0;
}
