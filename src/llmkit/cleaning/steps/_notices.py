"""Phrases of notices: those that stand in nothing else, and those that do where somebody is spoken to."""

from __future__ import annotations

STRONG = (
    "use of cookies", "cookie notice", "cookie preferences", "cookie banner", "accept all", "reject all",
    "manage your preferences", "manage preferences", "manage cookies", "strictly necessary cookies",
    "necessary cookies", "analytics cookies", "marketing cookies", "functional cookies", "advertising cookies",
    "performance cookies", "third-party cookies", "personalise content", "personalize content", "personalised ads",
    "personalized ads", "legitimate interest", "legitimate interests", "withdraw your consent",
    "data protection policy", "analyse our traffic", "analyze our traffic",
    "store and access information on a device", "process personal data", "your privacy choices",
    "do not sell my personal information", "by continuing to browse", "by continuing to use", "by using this site",
    "by using this website", "by clicking", "terms and conditions", "terms & conditions", "legal notice",
    "written permission", "written consent of", "respective owners", "registered trademark",
    "registered trademarks", "may not be reproduced", "may be reproduced", "not responsible for the content",
    "unsubscribe", "sign up for our", "subscribe to our", "our newsletter", "follow us", "share this",
    "share it with", "email address will not be published", "required fields are marked", "you must be logged in",
    "log in to", "click here", "back to top", "skip to", "you may also like", "related posts", "read more",
    "advertisement", "leave a reply", "leave a comment", "site map", "privacy statement", "cookie statement",
    "page not found", "404 not found", "enable javascript", "javascript is disabled", "javascript to run",
    "browser is out of date", "upgrade your browser", "access denied", "checking your browser",
    "permission to access", "could not be found", "forbidden", "internal server error", "limitation of liability",
    "without warranty", "sole discretion", "governing law", "hereby agree", "indemnify", "接受cookie",
    "使用cookies", "使用 cookie", "隐私声明", "隐私权政策", "法律声明", "用户须知", "许可证", "经营许可", "备案",
    "举报电话", "举报邮箱", "侵权请联系", "联系删除", "网站地图", "广告服务", "技术支持", "友情链接", "加入收藏",
    "设为首页", "更改cookie", "cookie设置", "启用javascript", "浏览器版本过低", "页面不存在", "您访问的页面",
)  # fmt: skip
WEAK = (
    "cookie", "cookies", "consent", "privacy", "personal data", "copyright", "trademarks", "newsletter",
    "subscribe", "our partners", "隐私", "cookie收集", "同意", "版权",
)  # fmt: skip
