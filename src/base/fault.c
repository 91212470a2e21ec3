/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <base/fault.h>
#include <stdio.h>

#define STRING(x) #x
#define VERSION(major, minor, patch)                                           \
	STRING(major) "." STRING(minor) "." STRING(patch)

const char *vh_version(void)
{
	return VERSION(VH_VERSION_MAJOR, VH_VERSION_MINOR, VH_VERSION_PATCH);
}

void vhi_fault_clear(struct vh_fault *fault)
{
	if (!fault)
		return;
	*fault = (struct vh_fault){
	    .queue = VH_FAULT_NO_QUEUE,
	    .message = VH_FAULT_NO_MESSAGE,
	    .section = "",
	};
}

int vhi_vfault(struct vh_fault *fault, uint32_t code, int error,
	       const char *section, const char *format, va_list args)
{
	if (!fault)
		return error;
	vhi_fault_clear(fault);
	fault->code = code;
	fault->error = error;
	fault->section = section ? section : "";
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	return error;
}

int vhi_fault(struct vh_fault *fault, uint32_t code, int error,
	      const char *section, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vhi_vfault(fault, code, error, section, format, args);
	va_end(args);
	return error;
}

void vhi_first_note(struct vhi_first *first, int error)
{
	if (error >= 0 || first->error)
		return;
	first->error = error;
	first->words = *first->fault;
}

int vhi_first_end(struct vhi_first *first)
{
	if (first->error)
		*first->fault = first->words;
	else
		vhi_fault_clear(first->fault);
	return first->error;
}

static const struct {
	uint32_t code;
	const char *name;
} names[] = {
#define NAME(x)                                                                \
	{                                                                      \
		VH_FAULT_##x, #x                                               \
	}
    NAME(NONE),		 NAME(SYSTEM),	    NAME(CALLER),
    NAME(MSG_FLAGS),	 NAME(MSG_UNKNOWN), NAME(MSG_SIZE),
    NAME(MSG_FDS),	 NAME(MSG_FIELD),   NAME(MSG_GATE),
    NAME(MSG_STATE),	 NAME(MSG_EOF),	    NAME(MSG_TIMEOUT),
    NAME(MSG_REPLY),	 NAME(UNSUPPORTED), NAME(MSG_REFUSED),
    NAME(MEM_REGION),	 NAME(MEM_OVERLAP), NAME(MEM_FILE),
    NAME(MEM_MAP),	 NAME(MEM_SLOTS),   NAME(MEM_UNKNOWN),
    NAME(MEM_VANISHED),	 NAME(RING_SIZE),   NAME(RING_ADDR),
    NAME(RING_INDEX),	 NAME(RING_HEAD),   NAME(RING_BUSY),
    NAME(DESC_NEXT),	 NAME(DESC_LOOP),   NAME(DESC_ADDR),
    NAME(DESC_INDIRECT), NAME(DESC_ORDER),  NAME(DESC_LENGTH),
    NAME(DESC_SEGMENTS), NAME(FEATURES),    NAME(CONFIG),
    NAME(REQUEST),	 NAME(IO),	    NAME(MEM_LOG),
    NAME(MEM_IOTLB),	 NAME(DESC_ACCESS), NAME(USED_ID),
    NAME(USED_LENGTH),	 NAME(USED_INDEX),  NAME(BROKEN),
#undef NAME
};

const char *vh_fault_name(uint32_t code)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].code == code)
			return names[i].name;
	return "UNKNOWN";
}
